"""The help of MeasureStratoFeatures in CellProfiler's window, in reStructuredText."""

MODULE = """\
MeasureStratoFeatures
=====================

**MeasureStratoFeatures** turns images, or the surroundings of objects, into the
features of **StratoNet**, a trained convolutional network. The features are the same
for every assay: there is nothing to tune, and no features are missing where a
segmentation failed. Use them to tell treatments apart, to group wells that look alike,
and to find wells that look unlike all others.

The network measures each image (channel) on its own. Unless you choose otherwise, its
grey values are scaled between its own darkest and brightest percentiles, so that
exposure and bit depth do not matter. The features then describe the *pattern*, not the
brightness. To measure brightness as well, choose *Low, medium, high and brightness*
under *Which taps?*

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          NO           YES
============ ============ ===============

Masked pixels, pixels outside the image and hidden neighbors are set to the value of the
darkest measured pixel, so that they look like background. An image or object with no
pixels left gets *nan*.

How images are shown to the network
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

The network recognizes textures and shapes a few pixels wide, so what it sees of a cell
depends on how large the cell is shown.

-  A *whole image* is resized to 224 x 224 pixels: the network sees the arrangement of
   cells, but single cells become small.
-  *Tiles* are squares of 224 x 224 pixels that cover the image. If its size is not a
   multiple of 224, they overlap. The features are averaged over the tiles. *Two
   across*: the image is resized until two tiles fit into its shorter side. *At the
   cells' scale*: it is not resized. *Of a width in micrometres*: it is resized until a
   tile has that width, so that images taken at different magnifications can be
   compared. For this, enter the size of a pixel, or take it from the metadata.
-  The square around an object is shown *at its own scale*, or enlarged to 224 x 224
   pixels.

*Columns*, below the settings, says how many columns your choice makes, how long it
takes, and which choice the network recommends. These choices, the statistics and the
grey range together are the recipe. It is part of the id of the features: compare only
features of the same recipe. Pipelines that were saved before these choices existed keep
the settings of that time: the whole image, squares enlarged, the mean.

Which grey range?
^^^^^^^^^^^^^^^^^

Choose *Of each image* if brightness should play no role. If the images of a plate were
taken with the same exposure and their brightness is informative, choose *From a file of
stratonet extract*, or type *Given numbers*: between the limits of its plate, a dim
image stays dim, and an empty one stays dark. The grey values of tiles and squares are
scaled in the same way.

Numbers are in the units of the files: CellProfiler divides what it loads by 255, 65535
or another number, and this module multiplies by it again. An image that another module
has made from a loaded one is taken to be in the same units. An image without such a
source is in CellProfiler's own units, 0 to 1. The numbers of *intensity* follow the
same rule.

Which taps?
^^^^^^^^^^^

A tap is a depth in the network. *low* sees edges and textures (granules, fibers, the
location of a stain in a cell), *medium* parts of cells, *high* whole cells and their
arrangement. If in doubt, take all three and let the classifier choose. If time or
columns are scarce, take *low* alone: it is the fastest and has the fewest columns.
*Custom...* shows all blocks of the network in a list. The views of images and squares
have a *Custom...*, too, for views that are not among the choices.

How many columns?
^^^^^^^^^^^^^^^^^

=================== ========= ========== ========== ==========
Taps                1 channel 2 channels 3 channels 5 channels
=================== ========= ========== ========== ==========
low                 1,024     2,048      3,072      5,120
medium              2,048     4,096      6,144      10,240
high                2,048     4,096      6,144      10,240
low, medium, high   5,120     10,240     15,360     25,600
=================== ========= ========== ========== ==========

*Mean* alone gives half as many, and images shown in both ways give twice as many.
Brightness adds 10 per channel. Each type of object adds columns of its own, as many as
images that are shown in one way.

Up to 2,000 columns in all go to CellProfiler's tables, more to a Parquet file, unless
you choose otherwise: a table of an SQLite database (**ExportToDatabase**) holds 2,000
columns, including the per-image means of objects, and every column in CellProfiler's
tables takes time. *Columns* says before the run where they will go. If other modules or
CellProfiler Analyst are to use the features, *Reduce the features to components?*
writes a few dozen principal components per image instead.

How long does it take?
^^^^^^^^^^^^^^^^^^^^^^

*Columns* gives an estimate: the seconds that one processor core takes for an image set
of 1,000 x 1,000 pixels, and for 100 objects. The time grows with the number of pixels
shown, and the cores of the machine share the work; no GPU is needed. *low* alone takes
0.6 of that time. The estimate is for the network that comes with StratoNet, on the
machine on which it was measured; yours may be faster or slower.

Writing 5,120 columns to CellProfiler's own tables adds about 3.5 seconds per image set;
a Parquet file adds 0.2. For a long run, close the eye beside the module, because the
figure takes time, too.

What the figure shows
^^^^^^^^^^^^^^^^^^^^^

-  At the top, each channel as the network sees it, with its grey range, drawn in the
   shape of the image. Yellow lines are the borders of tiles.
-  *Whole images:* for each tap, a dot for each image set of this run so far (the last
   200), from left to right. The higher the dot, the less its features resemble the
   median of all (1 - their correlation). The orange diamond is the image set shown
   here; the number is that of the highest dot. If a tap gives several blocks of
   features (two views, mean and standard deviation), a dot is their average. An image
   that is empty or out of focus stands out. Go on to the next image set to compare: the
   dots become meaningful with the third image set. Closing the window or starting a new
   run clears them.
-  *Objects:* a dot for each object of this image set. Below, the crops as the network
   sees them: the three objects nearest to the median (blue squares), and the three
   furthest from it (orange diamonds), with their object numbers. The top row shows
   where they are, with a yellow point in the middle of every object. Dirt and cells cut
   off by the border of the image are often among the oddest.

After the run
^^^^^^^^^^^^^

The Parquet file is in the default output folder, unless you have chosen another one.
Type, in a Python environment with ``stratonet[evaluate]`` (it need not be
CellProfiler's)::

   stratonet evaluate StratoFeatures_Image.parquet --output report

This writes a page that says whether the assay worked, which treatments differ from the
controls, and how far to trust the result. ``--metadata map.xlsx`` adds your plate map,
by plate and well. The figure and the log show the command with the name of your file.
If the features are in CellProfiler's tables, give the folder of **ExportToSpreadsheet**
or the database of **ExportToDatabase** instead.

Questions
^^^^^^^^^

-  *Do I need illumination correction?* Uneven light is a pattern, and the features see
   it. If it differs between plates, or is strong, use **CorrectIlluminationApply**
   first, as for other measurements.
-  *Are illumination functions measured?* Only if you tick them, as *Select All* does.
   Their features say nothing about a treatment. A yellow mark beside the module names
   them, and so do the log and the figure: clear their ticks.
-  *Do I need to rescale intensities?* No. With the grey range of each image, a factor
   or an offset on all its grey values changes nothing. For the same reason, an image
   that is only background gets features of its noise: remove such images, recognize
   them by their brightness, or use one grey range for the plate.
-  *Do I need a GPU?* No.
-  *Can I combine plates?* Yes, if *StratoFeatures_FeatureSet* is the same. Staining and
   focus differ between plates: standardize each plate by its controls, and never let
   training and test sets share a plate.
-  *Which objects?* Nuclei, with a square wide enough for the whole cell. You do not
   need the outlines of cells.
-  *How do I use thousands of features?* Together, with a classifier or a distance
   between wells. A single feature means little.

See also
^^^^^^^^

See also **MeasureImageIntensity**, **MeasureTexture**, **MeasureGranularity**.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

-  *StratoFeatures_<Tap><Number>_<Image>*: the average of one output of the network at
   a tap, for example *StratoFeatures_High0012_DNA*.
-  *StratoFeatures_<Tap>SD<Number>_<Image>*: its standard deviation over the image.
   If images are shown in two ways, *Whole* or *Tiles* precedes the tap
   (*TilesHighSD0012*).
-  *StratoFeatures_Intensity<Number>_<Image>*: brightness in the units of the file. From
   0000: mean, standard deviation, minimum, percentiles 5 and 25, median, percentiles 75
   and 95, maximum, and the percentage of pixels at the maximum.
-  *StratoFeatures_PC<Number>_<Image>*: if features are reduced, a principal component
   in place of the features. *StratoFeatures_Projection* (experiment) is the id of the
   projection file.
-  *StratoFeatures_FeatureSet* (experiment): which network and which recipe made the
   features; those of images and of objects differ. Only features of the same feature
   set can be compared. In Parquet files each row has its own.

References
^^^^^^^^^^

Please cite the first of these for the features, and the others for the network from
which they come.

-  van Elswijk, M. (2024) StratoNet, a deep learning approach to high content screening
   feature extraction. Master's thesis, Leiden University.
-  Wang, Q., Wu, B., Zhu, P., Li, P., Zuo, W. and Hu, Q. (2020) ECA-Net: Efficient
   channel attention for deep convolutional neural networks. IEEE/CVF Conference on
   Computer Vision and Pattern Recognition.
-  He, K., Zhang, X., Ren, S. and Sun, J. (2016) Deep residual learning for image
   recognition. IEEE Conference on Computer Vision and Pattern Recognition.
"""
