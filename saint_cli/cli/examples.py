"""What the help of each command shows below its first sentence: examples, and what the words mean."""

UPSAMPLE = """
[bold]Examples[/bold]

Isotropic voxels:
  [green]saint upsample chest.nii.gz -o chest_iso.nii.gz[/green]

Three new slices between each two acquired ones:
  [green]saint upsample chest.nii.gz --factor 4 -o chest_x4.nii.gz[/green]

Slices 1 mm apart, quickly, from a DICOM folder:
  [green]saint upsample FOLDER --spacing 1 --model fast -o chest.nrrd[/green]

With the error, in HU, that each voxel is expected to have:
  [green]saint upsample chest.nii.gz -o iso.nii.gz --uncertainty error.nii.gz[/green]

With a page of pictures and a self-check, to see whether it went well:
  [green]saint upsample chest.nii.gz -o iso.nii.gz --report iso.html[/green]

Write a new DICOM series, ready for PACS:
  [green]saint upsample FOLDER --factor 4 -o NEW_FOLDER/[/green]

Acquired slices on the new grid (all of them with --factor) are copied bit
for bit; origin and orientation stay.
"""

INFO = """
[bold]Examples[/bold]

What a file holds, and what upsample would produce:
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

  [green]saint evaluate dense.nii.gz --factor 4[/green]

  [green]saint evaluate a.nii.gz b.nii.gz -f 2,4,6 -m base,fast --json[/green]

  [green]saint evaluate dense.nii.gz -f 4 --degrade average --figure maps.png[/green]

Protocol paper compares synthesised slices: HU + 1024 clipped to 0…4000, data
range 4000, central 256 x 256 pixels, mean over slices. Protocol all compares
every slice, whole, with range 4095.

A factor such as 2.5 = 5/2 keeps every 5th slice and compares every 2nd, so
its gaps, and its figures, are those of factor 5.
"""

TRAIN = """
[bold]Examples[/bold]

From scratch, first AMI, then RFN:
  [green]saint train scans/ --val held_back/ -o run --size fast[/green]
  [green]saint train scans/ --val held_back/ -o run --size fast --stage rfn[/green]

Fine-tune shipped weights on scans of one's own, ten minutes on a laptop:
  [green]saint train scans/ --val held_back/ -o mine --size fast --init fast --steps 1000 --lr 3e-4[/green]
  [green]saint upsample thick.nii.gz -m mine/model.safetensors -o thin.nii.gz[/green]

Four GPUs:
  [green]torchrun --nproc-per-node 4 --no-python saint train scans.txt --val val.txt -o run --device cuda --bf16[/green]

DATA and --val: folders of NIfTI, NRRD, MHA files and DICOM series, searched
with their sub-folders, or text files that list one path a line.
On a CPU shared with other work, --threads 1 is several times faster than
two threads that wait for each other.
"""

BATCH = """
[bold]Examples[/bold]

Every scan below a folder, the tree mirrored, isotropic voxels:
  [green]saint batch STUDIES/ OUT/[/green]

What would be done, and how long it would take:
  [green]saint batch STUDIES/ OUT/ --factor 4 --model fast --dry-run[/green]

New DICOM series, ready for PACS; files by pattern; a table of scans and options:
  [green]saint batch STUDIES/ OUT/ --to dicom[/green]
  [green]saint batch 'trial/**/ct_*.nii.gz' OUT/ --spacing 1[/green]
  [green]saint batch scans.csv OUT/[/green]

All results side by side, named by file or folder and eight digits of the scan:
  [green]saint batch STUDIES/ OUT/ --name-template '{name}_{series}'[/green]

Columns of a table: source and, as wanted, name, factor, spacing, isotropic,
axis, extrapolate, model, directions, tta, match_noise, regenerate, precision,
series, volume, modality, slice_thickness, split_runs, merge, allow_labels.

From and to an object store (docs/cluster.md); STATE/ gets manifest and pages:
  [green]saint batch s3://bucket/studies OUT/[/green]
  [green]saint batch s3://bucket/studies s3://bucket/iso --state-dir STATE/[/green]

On a Dask cluster that runs already (docs/cluster.md):
  [green]saint batch STUDIES/ OUT/ --scheduler tcp://host:8786[/green]

Run the same command again after anything happened: what is done and
unchanged is skipped; what changed is redone. Scans that cannot be read or
are no regular stack fail again only if they, the options or saint change,
or with --retry-failed; other failures (no space, a lost worker) are tried
again by themselves. OUT/manifest.jsonl has a record of every job.

Exit codes: 0 all done, 8 some failed, 2 nothing to upsample was found.
"""
