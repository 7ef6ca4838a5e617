#!/usr/bin/env sh
# Upsample the example scan, and show what saint knows about it before and after.
set -eu
cd "$(dirname "$0")"
mkdir -p out
saint info chest_thick.nii.gz
saint upsample chest_thick.nii.gz --factor 4 --overwrite -o out/chest_x4.nii.gz
saint upsample chest_thick.nii.gz --isotropic --overwrite -o out/chest_isotropic.nii.gz
saint info out/chest_x4.nii.gz out/chest_isotropic.nii.gz
