"""The classes of Pascal VOC (Everingham et al. 2010)."""

CLASSES = """background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog
horse motorbike person pottedplant sheep sofa train tvmonitor""".split()  # noqa: SIM905
