"""Examples and notes that the help of each command shows below its first sentence."""

import textwrap

from saint_cli.options.job import COLUMNS

COLUMNS_TEXT = textwrap.fill(f"Columns of a table: source; optional: name, {', '.join(COLUMNS)}.", 78)

SAINT = """
[bold]Examples[/bold]

  [green]saint info chest.nii.gz[/green]
  [green]saint upsample chest.nii.gz -o chest_iso.nii.gz[/green]

saint COMMAND -h shows the options of a command, and more examples.
"""

UPSAMPLE = """
[bold]Examples[/bold]

Isotropic voxels:
  [green]saint upsample chest.nii.gz -o chest_iso.nii.gz[/green]

Three new slices between two acquired ones:
  [green]saint upsample chest.nii.gz --factor 4 -o chest_x4.nii.gz[/green]

Slices 1 mm apart, quickly, from a DICOM folder:
  [green]saint upsample FOLDER --spacing 1 --model fast -o chest.nrrd[/green]

Also write the expected error of each voxel, in scanner values (HU for CT):
  [green]saint upsample chest.nii.gz -o iso.nii.gz --uncertainty error.nii.gz[/green]

Also write a quality-control page, with pictures and a self-check:
  [green]saint upsample chest.nii.gz -o iso.nii.gz --report iso.html[/green]

Also bring a label map of the scan to the new grid (iso_labels.nii.gz):
  [green]saint upsample chest.nii.gz -o iso.nii.gz --labels seg.nii.gz[/green]

Write a new DICOM series, ready for PACS:
  [green]saint upsample FOLDER --factor 4 -o NEW_FOLDER/[/green]

Acquired slices on the new grid (all of them with --factor) are copied bit
for bit, and origin and orientation stay, except with --noise smooth,
--regenerate, --slab, --in-plane, --untilt or a coarser --spacing. With
--irregular, even the first acquired slice may lie off the new grid.
"""

LABELS = """
[bold]Examples[/bold]

Labels of the thick scan to the grid of the upsampled one:
  [green]saint labels seg.nii.gz --like chest_x4.nii.gz -o seg_x4.nii.gz[/green]

By their shapes alone, and only labels 1 and 3:
  [green]saint labels seg.nii.gz --like chest_x4.nii.gz -o seg_x4.nii.gz --no-guide --segments 1,3[/green]

Back to the thick scan, by majority in each slice:
  [green]saint labels seg_x4.nii.gz --like chest.nii.gz -o seg_thick.nii.gz[/green]

DICOM segmentation (SEG) of one series to one of another:
  [green]saint labels SEG.dcm --like FOLDER_X4/ -o SEG_X4.dcm[/green]

Contours (RTSTRUCT) of the thick series, filled:
  [green]saint labels RTSTRUCT.dcm --like FOLDER_X4/ -o SEG_X4.dcm[/green]

Acquired slices keep their labels voxel by voxel. The volume of each label
is reported before and after.
"""

INFO = """
[bold]Examples[/bold]

What a file contains, and what upsample would produce:
  [green]saint info chest.nii.gz[/green]

The series of a DICOM folder, numbered as --series takes them, and every
NIfTI, NRRD and MHA file below it:
  [green]saint info STUDY/[/green]

For a program, one object per path (its stacks have the fields of
saint_cli.io.StackInfo):
  [green]saint info --json STUDY/ chest.nii.gz[/green]

SeriesNumber and SeriesDescription are shown; --phi shows name, ID, dates and
study too.
"""

EVALUATE = """
[bold]Examples[/bold]

Keep every fourth slice, predict the others and compare:
  [green]saint evaluate dense.nii.gz --factor 4[/green]

Two volumes, three factors and two models, for a program:
  [green]saint evaluate a.nii.gz b.nii.gz -f 2,4,6 -m medium,fast --json[/green]

Slices that are averages, as of a scanner, and a picture of the differences:
  [green]saint evaluate dense.nii.gz -f 4 --degrade average --figure maps.png[/green]

Protocol paper compares synthesised slices: HU + 1024 clipped to 0…4000, data
range 4000, central 256 x 256 pixels, mean over slices. Protocol all compares
every slice, whole, with range 4095.

A factor such as 2.5 = 5/2 keeps every 5th slice and compares every 2nd, so
its gaps, and its figures, are those of factor 5.
"""

TRAIN = """
[bold]Examples[/bold]

From scratch: AMI, which makes slices from two directions, RFN, which fuses
these, then both together:
  [green]saint train scans/ --val held_back/ -o run --size fast[/green]
  [green]saint train scans/ --val held_back/ -o run --size fast --stage rfn[/green]
  [green]saint train scans/ --val held_back/ -o both --stage joint --init run/model.safetensors --lr 3e-4[/green]

Fine-tune shipped weights on your own scans, ten minutes on a laptop:
  [green]saint train scans/ --val held_back/ -o mine --size fast --init fast --steps 1000 --lr 3e-4[/green]
  [green]saint upsample thick.nii.gz -m mine/model.safetensors -o thin.nii.gz[/green]

Four GPUs:
  [green]torchrun --nproc-per-node 4 --no-python saint train scans.txt --val val.txt -o run --device cuda --bf16[/green]

DATA and --val: folders of NIfTI, NRRD, MHA files and DICOM series, searched
with their sub-folders, or text files that list one path a line.
On a CPU shared with other work, --threads 1 is several times faster than
two threads that wait for each other.
"""

MODELS = """
[bold]Examples[/bold]

What is there, and how good each is:
  [green]saint models[/green]

Use one by its name:
  [green]saint upsample chest.nii.gz -m fast -o chest_iso.nii.gz[/green]

The last column: PSNR of fused slices over cubic interpolation, the mean of
validation volumes (docs/results.md).
"""

SLICER = """
[bold]Examples[/bold]

A module for Slicer: write it, then add its folder in Slicer, Edit >
Application Settings > Modules, Additional module paths, and restart it:
  [green]saint slicer --launcher modules/SAINTUpsample[/green]

What Slicer runs (docs/slicer.md); 0 and auto stand for options not set:
  [green]saint slicer --xml[/green]
  [green]saint slicer --factor 4 --spacing 0 --axis auto in.nrrd out.nrrd[/green]

Files that exist are replaced. Warnings and failures are lines on stderr.
"""

BATCH = f"""
[bold]Examples[/bold]

Every scan below a folder, into folders of the same names, isotropic voxels:
  [green]saint batch STUDIES/ OUT/[/green]

What would be done, and how long it would take:
  [green]saint batch STUDIES/ OUT/ --factor 4 --model fast --dry-run[/green]

New DICOM series, ready for PACS; files by pattern; a table of scans:
  [green]saint batch STUDIES/ OUT/ --to dicom[/green]
  [green]saint batch 'trial/**/ct_*.nii.gz' OUT/ --spacing 1[/green]
  [green]saint batch scans.csv OUT/[/green]

All results side by side, named by file or folder and eight digits each:
  [green]saint batch STUDIES/ OUT/ --name-template '{{name}}_{{series}}'[/green]

{COLUMNS_TEXT}

From and to an object store (docs/cluster.md); STATE/ gets manifest and pages:
  [green]saint batch s3://bucket/studies OUT/[/green]
  [green]saint batch s3://bucket/studies s3://bucket/iso --state-dir STATE/[/green]

On a Dask cluster that runs already (docs/cluster.md):
  [green]saint batch STUDIES/ OUT/ --scheduler tcp://host:8786[/green]

Run the same command again at any time: scans that are done and unchanged
are skipped, changed ones are redone. Scans that cannot be read or are not a
regular stack are tried again only if they, the options or saint change, or
with --retry-failed; other failures (no space, a lost worker) are always
tried again. OUT/manifest.jsonl records every job.

Exit codes: 0 all done, 8 some failed, 2 no scan to upsample found.
"""

BIDS = """
[bold]Examples[/bold]

Isotropic voxels for every thick anatomical image of a data set:
  [green]saint bids DATASET DATASET/derivatives/saint participant[/green]

Two participants, and only two suffixes:
  [green]saint bids DATASET OUT participant --participant-label 01 02 --suffix FLAIR T2w[/green]

What would be done, and how long it would take:
  [green]saint bids DATASET OUT participant --dry-run[/green]

Slices 1 mm apart instead, four jobs at once:
  [green]saint bids DATASET OUT participant --spacing 1 --n-procs 4[/green]

A BIDS App. Results are called sub-..._res-iso_desc-saint_T2w.nii.gz, with a
.json each that names source, spacing, weights and options. Only datatype anat
is read; bold, dwi and other series over time are not. Images that are
isotropic already, quantitative maps, phase images and derivatives are skipped
with the reason.

Run it again at any time, for other participants too, also at the same time:
each participant has a manifest of its own (sub-LABEL/manifest.jsonl).

Exit codes: 0 all done, 8 some failed, 2 no scan to upsample found.
"""

SERVE = """
[bold]Examples[/bold]

Upsample thick CT that an archive sends, and return the results to it:
  [green]saint serve --forward ARCHIVE@127.0.0.1:4242 -o QUEUE/[/green]

By rules, from other machines, and to a DICOMweb service:
  [green]saint serve --host 0.0.0.0 --allow CT1,ARCHIVE --rules rules.toml -o QUEUE/ --forward https://HOST/dicom-web[/green]

rules.toml; of several rules the first that matches holds, and what matches
none is not processed:

[cyan][\\[rule]]
name = "thick chest"
match = { modality = "CT", description = "*chest*", least_spacing = 2.5 }
options = { spacing = 1.0, model = "fast" }[/cyan]

match: modality (CT, MR, PT), description (with * and ?), least_spacing (mm
between slices). options: columns of a table of saint batch (docs/batch.md)
but series, volume, and those of labels. skip = true: not processed.

An instance is acknowledged once it is on disk. The queue survives a crash:
run the same command again. SIGTERM ends the node, with exit code 0.
"""
