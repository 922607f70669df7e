from .fid_kid import fid as fid, kid as kid
from .full_reference import ms_ssim as ms_ssim, psnr as psnr, ssim as ssim
from .learned_distance import Lpips as Lpips
from .metric import Metric as Metric, MetricUnavailable as MetricUnavailable
from .registry import standard as standard
