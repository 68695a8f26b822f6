"""Running a network on a GPU; torch and the kernels load when a device is opened."""
