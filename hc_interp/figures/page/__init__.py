"""The web page of figures and reports: templates, style, script, and the code that fills the templates."""
