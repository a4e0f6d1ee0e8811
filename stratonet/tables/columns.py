"""The columns that tables of features share, whoever writes or reads them."""

SOURCE = "Metadata_Source"
BATCH = "Metadata_Batch"
PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"
# What names a plate, the widest first.
PLATE_KEYS = (SOURCE, BATCH, PLATE)

# CellProfiler's own columns, which its module writes too, and the one in which `stratonet extract` numbers objects.
IMAGE_NUMBER = "ImageNumber"
OBJECT_NUMBER = "ObjectNumber"
OBJECT = "Metadata_ObjectNumber"
# What tells one row from another.
KEYS = (PLATE, WELL, SITE, OBJECT)
# Row and column of an object's centre, in pixels, as CellProfiler names them.
CENTER = ("Location_Center_Y", "Location_Center_X")

# The id of the feature set, and of the projection where features were reduced to components.
FEATURE_SET = "Metadata_StratoFeatures"
PROJECTION = "Metadata_StratoProjection"
# Version of the package that measured, and why something could not be measured.
VERSION = "Metadata_StratoNetVersion"
ERROR = "Metadata_Error"
