"""The web page that figures and reports stand on: templates, style, script, and what fills them."""
