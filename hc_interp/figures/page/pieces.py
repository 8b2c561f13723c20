"""placeholder"""
def figure_page(figure): raise NotImplementedError
