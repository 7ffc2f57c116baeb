"""Runs jenkins-jobs many times in one process, to pay for its start only once.

Each line of standard input is {"dir": working directory, "args": [...]}, each
line of standard output {"error": what it failed with, or ""}.
"""
import json
import logging
import os
import sys
import warnings

warnings.simplefilter("ignore")
from jenkins_jobs.cli.entry import JenkinsJobs  # noqa: E402
from jenkins_jobs.local_yaml import LocalAnchorLoader  # noqa: E402

logging.disable(logging.CRITICAL)
answers = sys.stdout
sys.stdout = sys.stderr
for line in sys.stdin:
    run = json.loads(line)
    os.chdir(run["dir"])
    LocalAnchorLoader.reset_anchors()  # those of the run before
    error = ""
    try:
        JenkinsJobs(run["args"]).execute()
    except SystemExit as e:
        error = "exit %s" % e.code if e.code else ""
    except Exception as e:  # whatever it does not catch ends it with a trace
        error = "%s: %s" % (type(e).__name__, str(e)[:500])
    print(json.dumps({"error": error}), file=answers, flush=True)
