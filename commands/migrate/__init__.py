"""migrate.py: settings of other trainers, as an experiment of ours."""
