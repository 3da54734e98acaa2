"""Jobs on many attachments, done by the workers of a Dask cluster (extra `[dask]`).

    run       splits a job into parts, has them done, and tells of it as the job itself would
    splitting what is at and below paths, as parts of some assets each
    crew      a cluster: processes on this machine, or one that exists
    part      what a worker does: one part of a job
    slowing   a wait that the server asks one worker for is asked of all

Whoever runs the job is alone in writing down what comes of it, part by part: so a worker that dies
loses nothing, for its parts are done anew, and nothing is told twice.
"""
