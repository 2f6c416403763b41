"""Dashboards as code: ``boards`` says what is drawn, ``python -m deploy.grafana`` writes it."""
