"""The one result: rows (classes or inputs) x sites x channels."""

from unweave.paths.paths import Paths as Paths
from unweave.paths.rows import Rows as Rows
