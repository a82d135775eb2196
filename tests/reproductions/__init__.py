"""Published numbers against ours: `make reproduce ROW=course`."""
