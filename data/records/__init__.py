"""From the settings of a data set to the records of a split: labels, facts and report."""
