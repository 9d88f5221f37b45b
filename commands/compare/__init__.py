"""What compare.py does: plans, trains, evaluates and reports a comparison of losses."""
