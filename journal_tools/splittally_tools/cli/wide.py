"""`--wide`: every column of a view, where without it those stand that fit into 80 characters."""

import click

wide_option = click.option("--wide", is_flag=True, help="All columns, for a wide terminal.")
