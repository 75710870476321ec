from unweave.analysis.accuracy import accuracy as accuracy
from unweave.analysis.accuracy import accuracy_histogram as accuracy_histogram
from unweave.analysis.embedding import embedding as embedding
from unweave.analysis.similarity import similarity as similarity
from unweave.analysis.specificity import specificity as specificity
from unweave.analysis.states import filter_states as filter_states
from unweave.analysis.usage import usage as usage
from unweave.decoupling.format import load_decoupled as load_decoupled
from unweave.decoupling.network import DecoupledNetwork as DecoupledNetwork
from unweave.decoupling.network import decouple as decouple
from unweave.decoupling.training.fit import fit as fit
from unweave.decoupling.training.settings import FitSettings as FitSettings
from unweave.errors import UnweaveError as UnweaveError
from unweave.network.sites import Site as Site
from unweave.network.sites import Sites as Sites
from unweave.network.sites import find_sites as find_sites
from unweave.paths import Paths as Paths
from unweave.paths import Rows as Rows
from unweave.paths.restrict import restrict as restrict
from unweave.planted.planting import plant as plant
from unweave.planted.scoring import score_paths as score_paths
from unweave.search.attribute import attribute as attribute
from unweave.search.disentangle import disentangle as disentangle
from unweave.search.route import route as route
from unweave.tables import Table as Table

__version__: str
