"""The App that Hector serves when it is given none: `app.yaml`, and the Python functions that it names."""
