"""The main job: ``job.refine`` for predictions in files, ``refiner.Refiner`` for arrays."""
