"""The report of a synthetic sweep: complete, self-contained, escaped, repeatable, honest about what is missing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas
from synthetic import write
from synthetic_tables import FLOOR, HOSTILE, MONTE_CARLO_COST, true_bound

from analysis import report, tables
from analysis.__main__ import main
from analysis.document.blocks import Figure, Findings, Gallery, Note, Page, Table
from analysis.document.render import write_pages
from analysis.figures import theme
from analysis.pages import provenance
from analysis.pages.common import with_configuration
from analysis.pages.elbo_vs_dimension import page as elbo_vs_dimension
from analysis.pages.mc_variance import page as mc_variance
from analysis.pages.overview import answers as summary
from analysis.pages.overview import page as overview
from analysis.pages.pictures import page as pictures
from analysis.pages.pictures import training_curves
from analysis.statistics.headline import headline, studied_dimension

SMALL: dict[str, Any] = {"dims": (2, 8), "num_samples": (1,), "search_trials": 2, "confirm_trials": 1, "epochs": 3}
VOID = {"meta", "img", "br", "wbr", "use", "path", "rect", "circle", "image", "stop"}


class Reader(HTMLParser):
    """Collects what a browser would act on, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.tables: list[list[list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        return [str(attributes[attribute]) for name, attributes in self.tags if name == tag and attribute in attributes]


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose every string is hostile, with each way a trial can end."""
    folder = tmp_path_factory.mktemp("runs") / "hostile"
    return write(folder, hostile=True, failed=1, stopped=1, running=1, suspect=2, state="interrupted", **SMALL)


@pytest.fixture(scope="module")
def pages(run: Path) -> list[Page]:
    return [build(tables.load(run)) for build in report.PAGES.values()]


@pytest.fixture(scope="module")
def written(run: Path, pages: list[Page], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `report.write` writes, from pages that the other tests share."""
    return write_pages(tables.load(run), pages, tmp_path_factory.mktemp("reports") / "hostile").parent


@pytest.fixture(scope="module")
def html(written: Path) -> Reader:
    return read((written / "index.html").read_text(encoding="utf-8"))


def sweep(tmp_path: Path, **options: Any) -> tables.Sweep:
    return tables.load(write(tmp_path / "run", **{**SMALL, "search_trials": 0, "confirm_trials": 0, **options}))


def draw(page: Page) -> list[Canvas]:
    """Every figure of a page, drawn but not saved."""
    canvases = []
    with mpl.rc_context(theme.rc()):
        for block in page.blocks:
            for panel in block.panels if isinstance(block, Figure) else ():
                canvas = Canvas(figsize=panel.size)
                panel.draw(canvas.add_subplot())
                canvases.append(canvas)
    return canvases


def notes(page: Page) -> str:
    return " ".join(block.text for block in page.blocks if isinstance(block, Note))


# --- one file that needs nothing ------------------------------------------------------------------------------------


def test_five_pages_reached_without_javascript(html: Reader) -> None:
    sections = html.all("section", "id")
    assert sections == ["overview", "elbo-vs-dimension", "mc-variance", "pictures", "provenance"]
    assert html.all("a", "href") == [f"#{name}" for name in sections]
    assert "script" not in {tag for tag, _ in html.tags}


def test_nothing_is_asked_of_a_network(written: Path, html: Reader) -> None:
    text = (written / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|\bftp:", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert all(
        source.startswith("data:image/png;base64,") for tag in ("img", "image") for source in html.all(tag, "src")
    )
    assert {attribute for _, attributes in html.tags for attribute in attributes if attribute.startswith("on")} == set()
    assert {tag for tag, _ in html.tags} & {"link", "iframe", "object", "embed", "form", "base"} == set()
    assert all(re.fullmatch(r"#[\w-]+", target) for target in re.findall(r"url\(([^)]*)\)", text))


def test_configuration_is_escaped(written: Path, html: Reader) -> None:
    text = (written / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert" in text
    shown = " ".join(" ".join(html.text).split())
    assert " ".join(HOSTILE.split()) in shown  # whole, and {{ 7*7 }} is not 49


def test_markdown_is_escaped_and_its_tables_are_whole(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    assert "<script" not in re.sub(r"(?m)^    .*$", "", text).replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 50
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block[:200]
    for picture in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (written / picture).is_file()


def test_every_figure_and_table_is_a_file_in_every_format(written: Path) -> None:
    for folder, suffixes in (("figures", {".png", ".svg", ".pdf"}), ("tables", {".csv", ".parquet"})):
        found: dict[str, set[str]] = {}
        for path in (written / folder).iterdir():
            found.setdefault(path.name.partition(".")[0], set()).add(path.suffix)
        assert len(found) > 10
        assert set(map(frozenset, found.values())) == {frozenset(suffixes)}
    for path in (written / "tables").glob("*.parquet"):
        assert len(pd.read_csv(path.with_suffix(".csv"))) == len(pd.read_parquet(path))


def test_every_way_a_trial_ended_is_shown_with_its_reason(written: Path) -> None:
    table = pd.read_parquet(written / "tables" / "outcomes.parquet").set_index("outcome")
    assert table["n"].to_dict() == {"finished": 2, "suspect": 2, "stopped": 1, "failed": 1, "running": 1}
    assert table.loc["failed", "reason"] == HOSTILE
    assert HOSTILE in table.loc["suspect", "reason"]


def test_every_figure_is_followed_by_its_sentence_and_says_n(pages: list[Page]) -> None:
    for page in pages:
        for block in page.blocks:
            if isinstance(block, Figure):
                assert block.sentence.endswith(".")
                assert not re.search(r"\bnan\b|\binf\b|None", block.sentence)
                assert re.search(r"n = [\d,]+|no other beats|Shares of", block.caption), block.caption


def test_pictures_are_embedded(html: Reader, pages: list[Page]) -> None:
    assert len(html.all("img", "src")) >= 5
    captions = [block.title for page in pages for block in page.blocks if isinstance(block, Gallery)]
    assert any(caption.startswith("D = 2") for caption in captions)
    assert any(caption.startswith("D = 8") for caption in captions)


def test_pictures_in_order_of_their_epoch(run: Path) -> None:
    names = [path.stem for path in pictures.files(run, 0)]
    assert names[:3] == ["samples_epoch_0000", "samples_epoch_0005", "samples_final"]


def test_a_file_that_is_no_picture_is_left_out(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    folder = data.folder / "trials" / "0000" / "pictures"
    (folder / "samples_final.png").write_bytes(b"<svg onload=alert(1)>")
    assert "samples_final" not in [path.stem for path in pictures.files(data.folder, 0)]


def test_old_figures_do_not_outlive_their_sweep_and_each_page_is_announced(tmp_path: Path) -> None:
    data = sweep(tmp_path, failed=10**6)
    stale = tmp_path / "report" / "figures" / "gone.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    said: list[str] = []
    report.write(data.folder, tmp_path / "report", said.append)
    assert not stale.exists()
    assert said[0] == "reading the tables"
    assert said[1:] == [
        f"page {place} of 5: {name}"
        for place, name in enumerate(
            ["overview", "elbo vs dimension", "mc variance", "pictures", "provenance"], start=1
        )
    ]


@pytest.mark.slow
def test_same_tables_same_bytes(tmp_path: Path) -> None:
    run = write(tmp_path / "run", **SMALL)
    folders = [report.write(run, tmp_path / name).parent for name in ("first", "second")]
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(folders[1]) for path in folders[1].rglob("*") if path.is_file())
    for path in files:
        assert (folders[0] / path).read_bytes() == (folders[1] / path).read_bytes(), path


def test_pages_depend_on_their_tables_alone(run: Path, pages: list[Page]) -> None:
    """The cheap half of the test above: every frame, caption and sentence twice."""
    for build, first in zip(report.PAGES.values(), pages, strict=True):
        second = build(tables.load(run))
        for a, b in zip(first.blocks, second.blocks, strict=True):
            assert type(a) is type(b)
            if isinstance(a, Table) and isinstance(b, Table):
                pd.testing.assert_frame_equal(a.frame, b.frame)
            elif isinstance(a, Figure) and isinstance(b, Figure):
                assert (a.caption, a.sentence) == (b.caption, b.sentence)
            else:
                assert a == b


# --- what the pages say ---------------------------------------------------------------------------------------------


def test_the_curve_holds_the_designed_trials_with_their_confirmation(tmp_path: Path) -> None:
    data = sweep(tmp_path, search_trials=4, confirm_trials=1)
    chosen = headline(data)
    assert set(chosen.replicates["phase"]) == {"factorial", "confirm"}
    assert set(chosen.passed["phase"]) == {"search"}
    assert len(chosen.replicates) + len(chosen.passed) == len(data.replicates)
    assert list(chosen.series) == ["closed form", "Monte Carlo (k1)"]
    assert chosen.unit is None


def test_a_search_shows_the_best_of_each_cell_on_fresh_seeds(tmp_path: Path) -> None:
    data = sweep(tmp_path, search_trials=30)
    trials = data.trials.assign(phase=np.where(data.trials["trial"] < 4, "search", data.trials["phase"]))
    pick = trials["trial"].isin(trials.loc[trials["phase"] == "search", "trial"].tail(1))
    best = trials[pick].assign(trial=1000, phase="confirm")
    fresh = data.replicates[data.replicates["trial"] == trials.loc[pick, "trial"].item()].assign(trial=1000)
    searched = tables.Sweep(
        **{
            **vars(data),
            "trials": pd.concat([trials, best], ignore_index=True),
            "replicates": pd.concat([data.replicates, fresh], ignore_index=True),
        }
    )
    chosen = headline(searched)
    cells = chosen.replicates.groupby(["model.latent_dim", "series"])["config_hash"].nunique()
    assert (cells == 1).all()  # one configuration a point
    everything = pd.concat([chosen.replicates, chosen.passed])
    for (dimension, estimator), cell in everything.groupby(["model.latent_dim", "kl.estimator"]):
        ranked = cell[cell["phase"] != "confirm"].groupby("config_hash")["validation.elbo"].mean()
        kept = chosen.replicates
        kept = kept[(kept["model.latent_dim"] == dimension) & (kept["kl.estimator"] == estimator)]
        assert set(kept["config_hash"]) == {ranked.idxmax()}
        assert kept["phase"].nunique() == 1
    assert "biased upwards" in chosen.basis


def test_a_confirmed_curve_rests_on_fresh_seeds_alone(tmp_path: Path) -> None:
    data = sweep(tmp_path, search_trials=4)
    best = data.trials[data.trials["status"] == "finished"].sort_values("validation.elbo", ascending=False)
    best = best.drop_duplicates("model.latent_dim")
    fresh = best.assign(trial=best["trial"] + 1000, phase="confirm")
    measured = data.replicates[data.replicates["trial"].isin(best["trial"])]
    confirmed = tables.Sweep(
        **{
            **vars(data),
            "trials": pd.concat([data.trials, fresh], ignore_index=True),
            "replicates": pd.concat(
                [data.replicates, measured.assign(trial=measured["trial"] + 1000)], ignore_index=True
            ),
        }
    )
    chosen = headline(confirmed)
    assert set(chosen.replicates["phase"]) == {"confirm"}
    assert set(chosen.dimensions) == set(data.trials["model.latent_dim"])
    assert (chosen.replicates.groupby("model.latent_dim")["config_hash"].nunique() == 1).all()
    assert len(chosen.replicates) + len(chosen.passed) == len(confirmed.replicates)
    assert "fresh seeds: free of the winner's curse" in chosen.basis
    page = elbo_vs_dimension.page(confirmed)
    tables_ = {block.name: block for block in page.blocks if isinstance(block, Table)}
    assert "paired_differences" in tables_, "the design still compares the estimators"


def test_bound_sentence_names_the_best_point_and_the_floor(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    chosen = headline(data)
    figure = elbo_vs_dimension.bound(data, chosen)
    top = chosen.replicates.groupby(["model.latent_dim", "series"])["test.elbo"].mean().max()
    assert f"{top:.1f}".replace("-", "−")[:5] in figure.sentence
    assert f"{top - FLOOR:.1f} nats above a histogram that uses no z" in figure.sentence
    assert "D* = 8" in figure.sentence


def test_a_knee_is_as_sure_as_its_interval() -> None:
    means = pd.DataFrame(
        {"model.latent_dim": [2, 8], "mean": [-20.0, -10.0], "low": -20.5, "high": -9.5, "series": "closed form"}
    )
    sure = {"knee": 8.0, "best": 8.0, "low": 8.0, "high": 8.0}
    for knee, words in ((sure, "no smaller D comes within"), (sure | {"low": 2.0}, "a smaller D may do as well")):
        assert words in elbo_vs_dimension._bound_sentence(means, pd.Series(knee), float("nan"), pd.DataFrame())


@pytest.mark.parametrize(("share", "said"), [(1.0, True), (0.5, False)])
def test_training_that_ended_too_early_is_among_the_answers(tmp_path: Path, share: float, said: bool) -> None:
    data = sweep(tmp_path)
    data = replace(data, replicates=data.replicates.assign(best_epoch=share * data.replicates["epochs"]))
    assert ("in the last tenth of training" in summary.trust(data)) == said


def test_paired_verdict_finds_a_difference_that_is_there(tmp_path: Path) -> None:
    """With 60 seeds the Monte Carlo cost of 0.8 nats is seven standard errors; the sentence must say which way."""
    assert MONTE_CARLO_COST == 0.8
    assert true_bound(8, "closed_form", 1) > true_bound(8, "monte_carlo", 1)
    page = elbo_vs_dimension.page(sweep(tmp_path, replicates=60, variance_study=False, gradients=False, evidence=False))
    said = [block.sentence for block in page.blocks if isinstance(block, Figure)]
    assert any(
        "tell closed form and Monte Carlo (k1) apart" in sentence and "higher in 2" in sentence for sentence in said
    )


def test_the_report_opens_with_its_answers(pages: list[Page], run: Path) -> None:
    found = pages[0].blocks[0]
    assert isinstance(found, Findings)
    text = " ".join(found.sentences)
    data = tables.load(run)
    top = headline(data).means("test.elbo").sort_values("mean").iloc[-1]
    assert f"at D = {top['model.latent_dim']:g} ({top['series']}, n = {top['n']:g})" in text
    assert "closed form and Monte Carlo (k1) apart" in text
    assert re.search(r"falls as L to the power −(1\.0|0\.9)", text)
    assert "2 trials are suspect" in text
    assert all(sentence.endswith(".") for sentence in found.sentences)


def test_enough_draws_leave_a_tenth_of_the_variance_between_seeds(tmp_path: Path) -> None:
    """Var = 4.35 / L nats^2 at D = 8, averaged over the images, beside about 0.4 nats^2 between seeds."""
    data = sweep(tmp_path, replicates=20, gradients=False, evidence=False)
    variance = with_configuration(data, "variance")
    assert studied_dimension(data, variance) == 8  # the knee
    assert "L = 1 is enough at D = 8" in summary.draws(data, variance)
    noisy = tables.Sweep(**{**vars(data), "info": {**data.info, "data": {"test": 40}}})  # 0.109 / L <= 0.04
    assert "L = 4 is enough at D = 8" in summary.draws(noisy, variance)


def test_estimators_that_differ_in_more_than_the_estimator_are_not_compared(tmp_path: Path) -> None:
    data = sweep(tmp_path, variance_study=False)
    rate = np.where(data.trials["kl.estimator"] == "closed_form", 1e-3, 2e-3)
    apart = tables.Sweep(**{**vars(data), "trials": data.trials.assign(**{"training.learning_rate": rate})})
    assert "no two trials differ in the estimator alone" in summary.estimators(headline(apart))
    assert "apart in test ELBO" in summary.estimators(headline(data))


def test_the_prediction_beside_k1_is_of_k1(tmp_path: Path) -> None:
    """The table also predicts the cross-entropy's variance, which must not leak into the line."""
    data = sweep(tmp_path, gradients=False, evidence=False)
    variance = with_configuration(data, "variance")
    variance.loc[variance["quantity"] == "cross_entropy", "predicted"] = 1e6
    canvas = Canvas()
    axes = canvas.add_subplot()
    block = mc_variance.against_dimension(data, variance)[1]
    assert isinstance(block, Figure)
    block.panels[0].draw(axes)
    line = next(line for line in axes.lines if line.get_label() == "k1, predicted from (loc, scale)")
    assert np.max(np.asarray(line.get_ydata(), dtype=float)) < 100


def test_training_curves_are_of_the_best_trial_and_of_each_dimension(tmp_path: Path) -> None:
    data = sweep(tmp_path, variance_study=False)
    ranked = data.trials.sort_values("validation.elbo", ascending=False)
    block = training_curves.blocks(data, ranked)[1]
    assert isinstance(block, Figure)
    canvases = draw(Page("p", "t", "", (block,)))
    best = int(ranked["trial"].iloc[0])
    assert canvases[0].axes[0].get_title(loc="left") == f"Trial {best}, every replicate"
    assert len(canvases[0].axes[0].lines) == 2 * 3  # train and validation of three replicates
    assert canvases[1].axes[0].get_legend_handles_labels()[1] == ["D = 2", "D = 8"]
    assert re.match(r"\d+ of \d+ replicates had their best", block.sentence)


def test_the_exact_curve_is_shown_beside_linear_models_only(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    linear = data.trials.assign(**{"model.network.name": "linear"})
    for trials, shown in ((data.trials, False), (linear, True)):
        one = tables.Sweep(**{**vars(data), "trials": trials})
        canvas = Canvas()
        axes = canvas.add_subplot()
        elbo_vs_dimension.bound(one, headline(one)).panels[0].draw(axes)
        assert ("exact pPCA" in axes.get_legend_handles_labels()[1]) is shown


def test_calibration_that_fails_is_named(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    off = data.calibration.assign(z_score=[9.5] + [0.1] * (len(data.calibration) - 1))
    page = provenance.page(tables.Sweep(**{**vars(data), "calibration": off}))
    sentence = next(block.sentence for block in page.blocks if isinstance(block, Figure))
    assert "1 estimate of" in sentence
    assert "+9.5" in sentence


def test_slopes_are_in_the_legend(tmp_path: Path) -> None:
    page = mc_variance.page(sweep(tmp_path, gradients=False, evidence=False))
    slopes = next(block for block in page.blocks if isinstance(block, Figure))
    canvases = draw(replace(page, blocks=(slopes,)))
    texts = [text.get_text() for canvas in canvases for legend in canvas.legends for text in legend.get_texts()]
    assert any(re.match(r"i\.i\.d\.: slope −(1\.0|0\.99)", text) for text in texts)
    assert any(re.match(r"scrambled Sobol: slope −(2\.0|1\.99)", text) for text in texts)
    assert "slope −1" in texts


# --- what is missing is said ----------------------------------------------------------------------------------------

NOTHING = {"variance_study": False, "gradients": False, "evidence": False, "calibration": False, "pictures": False}


@pytest.mark.parametrize(
    ("options", "module", "said"),
    [
        ({"failed": 10**6}, overview, "No trial has finished"),
        ({"failed": 10**6}, elbo_vs_dimension, "there is no curve"),
        ({"failed": 10**6}, mc_variance, "no variance study"),
        ({"failed": 10**6}, pictures, "nothing to draw from"),
        ({"state": "running", "running": 1}, overview, "This sweep is running"),
        ({"dims": (8,)}, elbo_vs_dimension, "one point is not a curve"),
        ({"trials": 1, "replicates": 1}, elbo_vs_dimension, "one point is not a curve"),
        ({"trials": 1, "replicates": 1}, overview, "no search to show"),
        ({"estimators": ("closed_form",)}, elbo_vs_dimension, "nothing to compare"),
        (NOTHING, mc_variance, "no variance study"),
        (NOTHING, mc_variance, "no gradient study"),
        (NOTHING, mc_variance, "did not try prior Monte Carlo"),
        (NOTHING, pictures, "wrote no pictures"),
        (NOTHING, provenance, "no calibration table"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, options: dict[str, Any], module: Any, said: str) -> None:
    data = sweep(tmp_path, **options)
    assert said in notes(module.page(data))


@pytest.mark.parametrize(
    "options",
    [
        {"trials": 1, "replicates": 1},
        {"dims": (8,)},
        {"failed": 10**6},
        NOTHING,
    ],
    ids=lambda options: ",".join(options),
)
def test_no_panel_is_empty(tmp_path: Path, options: dict[str, Any]) -> None:
    data = sweep(tmp_path, **options)
    for build in report.PAGES.values():
        for canvas in draw(build(data)):
            axes = canvas.axes[0]
            drawn = sum(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).sum() for line in axes.lines)
            assert drawn + len(axes.patches) > 0, axes.get_title()


def test_an_empty_sweep_has_a_report(tmp_path: Path) -> None:
    data = sweep(tmp_path, trials=1)
    empty = {name: getattr(data, name).head(0) for name in tables.TABLES}
    data = tables.Sweep(**{**vars(data), **empty})
    assert "no trial yet" in notes(overview.page(data))
    for build in report.PAGES.values():
        draw(build(data))


# --- programs and the notebook --------------------------------------------------------------------------------------


def test_one_page_as_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = sweep(tmp_path, **NOTHING)
    assert main(["mc_variance", str(data.folder), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "no variance study" in said
    reader = read((tmp_path / "out" / "mc_variance.html").read_text(encoding="utf-8"))
    assert reader.all("section", "id") == ["mc-variance"]


def test_a_program_without_tables_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mc_variance", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((Path(__file__).parents[2] / "docs" / "report.ipynb").read_text(encoding="utf-8"))
    monkeypatch.setenv("ELBOSWEEP_RUN", str(sweep(tmp_path).folder))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "docs/report.ipynb", "exec"), names)
    assert names["curve"]["mean"].notna().all()
    assert "<svg" in elbo_vs_dimension.bound(names["sweep"], names["chosen"])._repr_html_()
