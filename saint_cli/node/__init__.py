"""A DICOM node that receives series, upsamples those that its rules name, and sends the results on."""
