"""Few steps instead of many: the plan, the study of quality against steps, its picture, and what is kept of both."""
