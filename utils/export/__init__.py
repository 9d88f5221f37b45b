"""Networks in files that other programs run: written, described, run; knows no model of ours."""
