"""Pictures of frames, features and training. Images are BGR uint8 arrays, as OpenCV has them."""
from ..building import build_split
from .augmentations import describe_image_augmentation, describe_point_augmentation
from .birds_eye_view import BirdsEyeView
from .colours import colour_bar, depth_bar, depth_colours, hue_colours, share_colours
from .command_line import add_frame_arguments
from .curves import draw_training_curves, read_scalars
from .features import PCAColours, cosine_similarity, upsample_to_image
from .frame_sheet import FramePicture, draw_frame
from .model_sheet import choose_query, draw_model_frame, fit_depth_probe, fit_pca_colours
from .model_views import FrameFeatures, extract_frame
from .overlays import blend_heat_map, draw_dots, draw_lidar_overlay, draw_segments, fade, zoom
from .sheets import captioned, contact_sheet, hstack, vstack, write_png
from .sources import build_matcher, build_model, choose_frames, choose_other_frames

__all__ = [
    'BirdsEyeView', 'FrameFeatures', 'FramePicture', 'PCAColours', 'add_frame_arguments',
    'blend_heat_map', 'build_matcher', 'build_model', 'build_split', 'captioned', 'choose_frames',
    'choose_other_frames', 'choose_query', 'colour_bar', 'contact_sheet', 'cosine_similarity',
    'depth_bar', 'depth_colours', 'describe_image_augmentation', 'describe_point_augmentation',
    'draw_dots', 'draw_frame', 'draw_lidar_overlay', 'draw_model_frame', 'draw_segments',
    'draw_training_curves', 'extract_frame', 'fade', 'fit_depth_probe', 'fit_pca_colours', 'hstack',
    'hue_colours', 'read_scalars', 'share_colours', 'upsample_to_image', 'vstack', 'write_png',
    'zoom'
]
