"""What each feature of a dictionary stands for, seen over a store in one pass of bounded memory.

Where it fires and how strongly, what it does to the logits, which features, neurons and labels go
with it: each beside what chance gives. The views of all features are one finding, read feature by
feature; they can be searched, and described by a rule that is checked on contexts not used for it.

    from interp.dictionaries.views import view_features
    views = view_features("sae", "store", model="polyglot", neurons="blocks.2.mlp.hook_post")
    views.save("views")
    print(views.feature(17))
"""

from typing import TYPE_CHECKING, Any

from interp.dictionaries.views.feature_view import FeatureView
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.views.search import search_features

if TYPE_CHECKING:
    from interp.dictionaries.views.run import view_features

__all__ = ["FeatureView", "FeatureViews", "search_features", "view_features"]


def __getattr__(name: str) -> Any:
    # Lazy: reading views must not load torch.
    if name == "view_features":
        from interp.dictionaries.views.run import view_features

        return view_features
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
