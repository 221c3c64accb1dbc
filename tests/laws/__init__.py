"""What no report may break, whatever was traced and whatever is broken: asserted on every report and every case that any test makes.

document   the report as a JSON document
case       packets followed over their hops, before anything is diagnosed
enforce    the hook that asserts both in every test
"""
