"""Networks whose class channels are known by construction, and how well a method finds them."""

from unweave.planted.planting import Planted as Planted
from unweave.planted.planting import plant as plant
from unweave.planted.scoring import score_paths as score_paths
from unweave.planted.truth import Truth as Truth
