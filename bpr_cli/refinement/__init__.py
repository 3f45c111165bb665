"""The main job: predictions in, refined predictions out. ``Refiner`` for arrays, ``refine_predictions`` for files."""
