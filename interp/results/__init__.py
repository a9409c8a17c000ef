"""What every result carries: provenance, doubt, and a safe way to disk.

Errors a user can put right, intervals and tests, atomic files, the finding container and the
study directory that collects findings. Nothing here knows about models.

    from interp.results.intervals import wilson
    from interp.results.study import Study
    print(wilson(17, 20))
    print([entry.title for entry in Study.open(path).entries()])
"""
