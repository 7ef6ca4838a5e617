"""DICOM in and out: ``read`` and ``write`` are the ways in, each a list of its steps.

Reading: ``folder_scan`` finds files, ``headers`` and ``slice_header`` parse them, ``merging``, ``volume_split`` and
``stacks`` sort slices into volumes, ``selection`` chooses one, ``pixels`` and ``rescale`` give its voxels.
Writing: ``template`` is the header of an acquired slice, ``derived_header`` turns it into that of an output slice,
``derived_image`` adds the pixels, ``uids`` makes the UIDs.
"""
