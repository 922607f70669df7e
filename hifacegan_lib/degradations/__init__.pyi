from .folders import degrade_folder as degrade_folder, replay_file as replay_file
from .operations import OPERATIONS as OPERATIONS
from .recipes import Recipe as Recipe, load_recipe as load_recipe, pair_seed as pair_seed, recipe_names as recipe_names
from .traces import Trace as Trace
