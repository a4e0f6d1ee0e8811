"""The help of MeasureStratoFeatures in CellProfiler's window, in reStructuredText."""

MODULE = """\
MeasureStratoFeatures
=====================

**MeasureStratoFeatures** turns images, or the surroundings of objects, into the
features of **StratoNet**, a trained convolutional network. The features are the same
for every assay: there is nothing to tune, and none is missing where a segmentation
failed. Use them to tell treatments apart, to group wells that look alike, and to find
wells that look unlike all others.

The network measures each image (channel) on its own. Unless you choose otherwise, its
grey values are scaled between its own darkest and brightest percentiles, so that
exposure and bit depth do not matter. The features then describe the *pattern*, not the
brightness: for brightness, choose taps *and brightness*.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          NO           YES
============ ============ ===============

Masked pixels, pixels outside the image and hidden neighbors are set to the darkest
pixel measured, so that they look like background. An image or object without any pixel
left gets *nan*.

How images are shown to the network
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

The network knows textures and shapes of some pixels. How large a cell is on its way
decides what of it is seen.

-  A *whole image* is resized to 224 x 224 pixels: the arrangement of cells is seen,
   single cells become small.
-  *Tiles* are squares of 224 x 224 pixels that cover the image; where it is no multiple
   of 224, they overlap. The features are averaged over the tiles. *Two across*: the
   image is resized until two of them fit into its shorter side. *At the cells' scale*:
   it is not resized. *Of a width in micrometres*: it is resized until a tile has that
   width, so that images of several magnifications can be compared; the size of a pixel
   must be given, or stand in the metadata.
-  The square around an object is shown *at its own scale*, or enlarged to 224 x 224
   pixels.

*Columns*, below the settings, says how many columns your choice makes and how long it
takes, and which choice the network recommends. These choices, the statistics and the
grey range together are the recipe. It is part of the id of the features: compare only
features of the same recipe. Pipelines that were saved before there was a choice keep
what they had: the whole image, squares enlarged, the mean.

Which grey range?
^^^^^^^^^^^^^^^^^

*Of each image* is right where brightness is to play no role. Between the limits of its
plate a dim image stays dim, and an empty one stays dark: choose *From a file of
stratonet extract*, or type *Given numbers*, where images of a plate were taken with the
same exposure and their brightness tells something. The grey values of tiles and squares
are scaled in the same way.

Numbers are in the units of the files: CellProfiler divides what it loads by 255, 65535
or another number, and this module multiplies by it again. An image that another module
has made of a loaded one is taken to be in the same units. One that has no such source
is in CellProfiler's own units, 0 to 1. The numbers of *intensity* follow the same rule.

Which taps?
^^^^^^^^^^^

A tap is a depth in the network. *low* sees edges and textures (granules, fibers, where
in a cell a stain lies), *medium* parts of cells, *high* whole cells and their
arrangement. If in doubt, take all three and let the classifier choose. Take *low* alone
where time or columns are scarce: it is the fastest and the narrowest. *Custom...* shows
all blocks of the network in a list; the views of images and squares have a *Custom...*,
too, which takes what recipes can say and no choice has words for.

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

Half as many with *Mean* alone, and twice as many for images that are shown in both
ways. *Brightness* adds 10 per channel. And the same again for each type of object,
which is shown in one way.

Up to 2,000 columns in all go to CellProfiler's tables, more to a Parquet file, unless
you choose otherwise: a table of an SQLite database (**ExportToDatabase**) holds 2,000
columns, including the per-image means of objects, and CellProfiler's tables take time
for each. *Columns* says before the run which it is. Where other modules, or
CellProfiler Analyst, are to use the features, *Reduce the features to components?*
writes a few dozen principal components per image in place of its features.

How long does it take?
^^^^^^^^^^^^^^^^^^^^^^

*Columns* says it: the seconds that one processor core takes for an image set of 1,000 x
1,000 pixels, and for 100 objects. They grow with the number of pixels shown, and are
shared by the cores of the machine; no GPU is needed. *low* alone takes 0.6 of that
time. The estimate is for the network that comes with StratoNet, from the machine on
which it was measured; yours may be faster or slower.

Writing 5,120 columns to CellProfiler's
own tables adds about 3.5 seconds per image set; a Parquet file adds 0.2. Close the eye
beside the module in a long run: the figure takes time too.

What the figure shows
^^^^^^^^^^^^^^^^^^^^^

-  At the top, each channel as the network sees it, with its grey range, drawn in the
   shape of the image. Yellow lines are the borders of tiles.
-  *Whole images:* for each tap, a dot for each image set of this run so far (the last
   200), from left to right. The higher the dot, the less its features are like the
   median of all (1 - their correlation). The orange diamond is the image set shown
   here; the number is that of the highest dot. Where a tap gives several blocks of
   features (two views, mean and standard deviation), a dot is their average. An empty
   image or one out of focus stands out. Go on to the next image set to compare: the
   dots mean something from three image sets on. Closing the window or starting a new
   run begins afresh.
-  *Objects:* a dot for each object of this image set. Below, the crops as the network
   sees them: the three objects nearest to the median (blue squares), and the three
   furthest from it (orange diamonds), with their object numbers. The top row shows
   where they lie, with a yellow point in the middle of every object. Cells cut by the
   border of the image and dirt are often among the oddest.

After the run
^^^^^^^^^^^^^

The Parquet file is in the default output folder, unless you have chosen another one. In
a Python that has ``stratonet[evaluate]``, perhaps another than CellProfiler's, type::

   stratonet evaluate StratoFeatures_Image.parquet --output report

It writes a page that says whether the assay worked, which treatments differ from the
controls, and how far to trust it. ``--metadata map.xlsx`` adds your plate map, by plate
and well. The figure and the log show the command with the name of your file. Of
CellProfiler's tables, give it the folder of **ExportToSpreadsheet** or the database of
**ExportToDatabase**.

Questions
^^^^^^^^^

-  *Do I need illumination correction?* Uneven light is a pattern, and the features see
   it. If it differs between plates, or is strong, use **CorrectIlluminationApply**
   first, as for other measurements.
-  *Are illumination functions measured?* Only if you tick them, as *Select All* does.
   Their features say nothing of a treatment. A yellow mark beside the module names
   them, and so do the log and the figure: clear their ticks.
-  *Do I need to rescale intensities?* No. With the grey range of each image, a factor
   or an offset on all its grey values changes nothing. For the same reason, an image of
   background alone gets features of its noise: remove such images, tell them apart by
   their brightness, or take one grey range for the plate.
-  *Do I need a GPU?* No.
-  *Can I combine plates?* Yes, if *StratoFeatures_FeatureSet* is the same. Staining and
   focus differ between plates: standardize each plate by its controls, and never let
   training and test sets share a plate.
-  *Which objects?* Nuclei, with a square wide enough for the whole cell. You do not
   need outlines of cells.
-  *How do I use thousands of features?* Together, with a classifier or a distance
   between wells. A single one means little.

See also
^^^^^^^^

See also **MeasureImageIntensity**, **MeasureTexture**, **MeasureGranularity**.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

-  *StratoFeatures_<Tap><Number>_<Image>*: the average of one output of the network at
   a tap, for example *StratoFeatures_High0012_DNA*.
-  *StratoFeatures_<Tap>SD<Number>_<Image>*: its standard deviation over the image.
   Where images are shown in two ways, the tap has *Whole* or *Tiles* before it
   (*TilesHighSD0012*).
-  *StratoFeatures_Intensity<Number>_<Image>*: brightness in the units of the file. From
   0000: mean, standard deviation, minimum, percentiles 5 and 25, median, percentiles 75
   and 95, maximum, and the percentage of pixels at the maximum.
-  *StratoFeatures_PC<Number>_<Image>*: where features are reduced, a principal
   component in their place. *StratoFeatures_Projection* (experiment) is the id of the
   projection file.
-  *StratoFeatures_FeatureSet* (experiment): which network and which recipe made the
   features; images and objects have different ones. Only features of the same feature
   set can be compared. In Parquet files each row has its own.

References
^^^^^^^^^^

Please cite the first of these for the features, and the others for the network that
they come from.

-  van Elswijk, M. (2024) StratoNet, a deep learning approach to high content screening
   feature extraction. Master's thesis, Leiden University.
-  Wang, Q., Wu, B., Zhu, P., Li, P., Zuo, W. and Hu, Q. (2020) ECA-Net: Efficient
   channel attention for deep convolutional neural networks. IEEE/CVF Conference on
   Computer Vision and Pattern Recognition.
-  He, K., Zhang, X., Ren, S. and Sun, J. (2016) Deep residual learning for image
   recognition. IEEE Conference on Computer Vision and Pattern Recognition.
"""
