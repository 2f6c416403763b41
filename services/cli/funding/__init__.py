"""`zhida funding`: cycles, payments, budgets, recoveries, the old system's file."""

import typer

from services.cli.funding import budgets, cycles, deputies, payments, recoveries

group = typer.Typer(name="funding", help="资金：发放、付款、预算、追回")
group.add_typer(payments.payments)
group.add_typer(cycles.cycle, name="cycle")
group.add_typer(budgets.budget, name="budget")
group.add_typer(recoveries.recovery, name="recovery")
group.add_typer(deputies.deputy, name="deputy")
