"""A folder a library that runs models; which parts it has, its row in ``hfspec/tasks/libraries.py`` says."""
