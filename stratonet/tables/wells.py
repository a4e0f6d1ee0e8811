"""How wells are named: A01 is row A and column 1 of a plate."""


def split_well_names(wells):
    """The row and the column of the plate of each well.

    A and 1 for A01; missing for other names.
    """
    found = wells.str.extract(r"^([A-Z]{1,2})(0*[1-9]\d*)$")
    return found[0], found[1].astype("Int64")
