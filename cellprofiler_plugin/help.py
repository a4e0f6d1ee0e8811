"""The help of MeasureStratoFeatures in CellProfiler's window, in reStructuredText."""

MODULE = """\
MeasureStratoFeatures
=====================

**MeasureStratoFeatures** turns images, or the surroundings of objects, into the
features of **StratoNet**, a trained convolutional network. The features are the same
for every assay: there is nothing to tune, and none is missing where a segmentation
failed. Use them to tell treatments apart, to group wells that look alike, and to find
wells that look unlike all others.

The network measures each image (channel) on its own. The image is resized to 224 x 224
pixels, and its grey values are scaled between its own darkest and brightest
percentiles, so that exposure and bit depth do not matter. The features describe the
*pattern*, not the brightness: for brightness, add **MeasureImageIntensity**.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          NO           YES
============ ============ ===============

Masked pixels, pixels outside the image and hidden neighbors are set to the darkest
pixel measured, so that they look like background. An image or object without any pixel
left gets *nan*.

Which taps?
^^^^^^^^^^^

A tap is a depth in the network. *low* sees edges and textures (granules, fibers, where
in a cell a stain lies), *medium* parts of cells, *high* whole cells and their
arrangement. If in doubt, select all three and let the classifier choose. Select *low*
alone where time or columns are scarce: it is the fastest and the narrowest.

How many columns?
^^^^^^^^^^^^^^^^^

=================== ========= ========== ========== ==========
Taps                1 channel 2 channels 3 channels 5 channels
=================== ========= ========== ========== ==========
low                 512       1,024      1,536      2,560
medium              1,024     2,048      3,072      5,120
high                1,024     2,048      3,072      5,120
low, medium, high   2,560     5,120      7,680      12,800
=================== ========= ========== ========== ==========

And the same number again for each type of object. In SQLite, **ExportToDatabase** holds
at most 2,000 columns per table, including the per-image means of objects. Where that is
too few, *Reduce the features to components?* writes a few dozen principal components
per image in place of its features.

How long does it take?
^^^^^^^^^^^^^^^^^^^^^^

About 53 planes per second on 2 processor cores without a GPU; *low* alone takes 0.6 of
that time. A plane is one channel of one image, or of one object: 100 nuclei in 5
channels are 500 planes, which take 10 seconds. Writing 5,120 columns to CellProfiler's
own tables adds about 3.5 seconds per image set; a Parquet file adds 0.2. Close the eye
beside the module in a long run: the figure takes time too.

What the figure shows
^^^^^^^^^^^^^^^^^^^^^

-  At the top, each channel as the network sees it: 224 x 224 grey values, drawn in the
   shape of the image.
-  *Whole images:* for each tap, a dot for each image set of this run so far (the last
   200), from left to right. The higher the dot, the less its features are like the
   median of all (1 - their correlation). The orange diamond is the image set shown
   here; the number is that of the highest dot. An empty image or one out of focus
   stands out. Go on to the next image set to compare: the dots mean something from
   three image sets on. Closing the window or starting a new run begins afresh.
-  *Objects:* a dot for each object of this image set. Below, the crops as the network
   sees them: the three objects nearest to the median (blue squares), and the three
   furthest from it (orange diamonds), with their object numbers. The top row shows
   where they lie, with a yellow point in the middle of every object. Cells cut by the
   border of the image and dirt are often among the oddest.

Questions
^^^^^^^^^

-  *Do I need illumination correction?* Uneven light is a pattern, and the features see
   it. If it differs between plates, or is strong, use **CorrectIlluminationApply**
   first, as for other measurements.
-  *Do I need to rescale intensities?* No. A factor or an offset on all grey values of
   an image changes nothing. For the same reason, an image of background alone gets
   features of its noise: remove such images, or tell them apart by their intensity.
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
-  *StratoFeatures_PC<Number>_<Image>*: where features are reduced, a principal
   component in their place. *StratoFeatures_Projection* (experiment) is the id of the
   projection file.
-  *StratoFeatures_FeatureSet* (experiment): which network made the features. Only
   features of the same feature set can be compared.

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
