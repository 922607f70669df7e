from .folders import degrade_folder as degrade_folder
from .folders import replay_file as replay_file
from .operations import OPERATIONS as OPERATIONS
from .recipes import Recipe as Recipe
from .recipes import load_recipe as load_recipe
from .recipes import pair_seed as pair_seed
from .recipes import recipe_names as recipe_names
from .traces import Trace as Trace
