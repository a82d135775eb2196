"""An import path that was public: says where `load_vae` is now."""

raise ImportError("pipeline.trained has moved: say `from pipeline.trial import load_vae`")
