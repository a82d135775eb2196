"""Many trials: orchestration, the record on disk, tracking. Here only environment variables are set."""

import os

# Read when Ray is imported, so they are set before any module here can import it: one line of output per trial, csv
# and json copies, snapshots of a state that we never restore, and a probe for a token are all off.
for _name, _value in {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}.items():
    os.environ.setdefault(_name, _value)

# Read by glibc when a worker starts: up to 2 GB that a step gives back stay with the process. Tune trains in a thread,
# and there each step of several draws would fetch its logits from the system anew, page by page: up to half its time.
for _name, _value in {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
}.items():
    os.environ.setdefault(_name, _value)

# Read when pydantic defines its first model: it would look through all installed packages for plugins, and we use none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
