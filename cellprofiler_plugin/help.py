"""What CellProfiler's window shows as the help of MeasureStratoFeatures, in reStructuredText."""

MODULE = """\
MeasureStratoFeatures
=====================

**MeasureStratoFeatures** turns images, or the surroundings of objects, into the features of **StratoNet**, a trained
convolutional network. The features are the same for every assay: there is nothing to tune, and none is missing where
a segmentation failed. Use them to tell treatments apart, to group wells that look alike, and to find wells that look
unlike all others.

Each image (channel) goes through the network alone. It is resized to 224 x 224 pixels and its grey values are scaled
between its own darkest and brightest percentiles, so that exposure and bit depth do not matter. What differs between
treatments is the *pattern*, not the brightness: measure that with **MeasureImageIntensity** beside it.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          NO           YES
============ ============ ===============

Masked pixels, pixels outside of the image and hidden neighbours are set to the darkest pixel measured, so that they
read as background. An image or object without any pixel left gives *nan*.

Which taps?
^^^^^^^^^^^

A tap is a depth in the network. *low* sees edges and textures (granules, fibres, where in a cell a stain lies),
*medium* parts of cells, *high* whole cells and how they lie together. If in doubt, take the three and let the
classifier choose. Take *low* alone where time or columns are short: it is the fastest and the narrowest.

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

As many again for each kind of object. **ExportToDatabase** holds at most 2,000 columns a table in SQLite, with the
per-image means of objects among them. Where that is too few, *Reduce the features to components?* writes some tens of
principal components an image in place of its features.

How long does it take?
^^^^^^^^^^^^^^^^^^^^^^

About 53 planes a second on 2 processor cores without a GPU; *low* alone takes 0.6 of that time. A plane is one channel
of one image, or of one object: 100 nuclei in 5 channels are 500 planes, 10 seconds. CellProfiler's own tables add about
3.5 seconds an image set for 5,120 columns; a Parquet file adds 0.2. Close the eye beside the module in a long run: the
figure takes time too.

What the figure shows
^^^^^^^^^^^^^^^^^^^^^

-  Above, each channel as the network sees it: 224 x 224 grey values, drawn in the shape of the image.
-  *Whole images:* a dot for each image set of this run so far (the last 200), from left to right, for each tap. The
   higher, the less its features are like the median of all (1 - their correlation). The orange diamond is the image
   set on view; the number is that of the highest dot. An empty image or one out of focus stands out. Go on to the next
   image set to compare: three or more tell something. Closing the window or starting a new run begins afresh.
-  *Objects:* a dot for each object of this image set. Below, the crops as the network sees them: the three objects
   nearest to the median (blue squares), and the three furthest from it (orange diamonds), with their object numbers;
   above, where they lie, with a yellow point in the middle of every object. Cells cut by the border of the image and
   dirt are often among the oddest.

Questions
^^^^^^^^^

-  *Do I need illumination correction?* Uneven light is a pattern, and the features see it. If it differs between
   plates, or is strong, use **CorrectIlluminationApply** first, as for other measurements.
-  *Do I need to rescale intensities?* No. A factor or an offset on all grey values of an image changes nothing. For the
   same reason, features of an image with background alone are features of its noise: remove such images, or keep them
   apart by their intensity.
-  *Do I need a GPU?* No.
-  *Can I combine plates?* Yes, if *StratoFeatures_FeatureSet* is the same. Staining and focus differ between plates:
   standardise each plate by its controls, and let training and test sets never share a plate.
-  *Which objects?* Nuclei, with a square wide enough for the whole cell. No outlines of cells are needed.
-  *How do I use thousands of features?* Together, with a classifier or a distance between wells. A single one means
   little.

See also
^^^^^^^^

See also **MeasureImageIntensity**, **MeasureTexture**, **MeasureGranularity**.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

-  *StratoFeatures_<Tap><Number>_<Image>*: the mean of one channel of the network at a tap, for example
   *StratoFeatures_High0012_DNA*.
-  *StratoFeatures_PC<Number>_<Image>*: in place of these, where features are reduced, a principal component of them.
   *StratoFeatures_Projection* (experiment) is the id of the projection file.
-  *StratoFeatures_FeatureSet* (experiment): which network made the features. Only features of the same set can be
   compared.

References
^^^^^^^^^^

Please cite the first of these for the features, and the others for the network that they come from.

-  van Elswijk, M. (2024) StratoNet, a deep learning approach to high content screening feature extraction. Master's
   thesis, Leiden University.
-  Wang, Q., Wu, B., Zhu, P., Li, P., Zuo, W. and Hu, Q. (2020) ECA-Net: Efficient channel attention for deep
   convolutional neural networks. IEEE/CVF Conference on Computer Vision and Pattern Recognition.
-  He, K., Zhang, X., Ren, S. and Sun, J. (2016) Deep residual learning for image recognition. IEEE Conference on
   Computer Vision and Pattern Recognition.
"""
