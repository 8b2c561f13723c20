"""A task of one's own, described by a TOML file that names tables of texts: `hc.load_task("my_task.toml")`."""
