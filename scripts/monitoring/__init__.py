"""The dashboards of deploy/grafana, as code. `make docs` writes them."""
