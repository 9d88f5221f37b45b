"""check_data.py: is this data set sound?"""
