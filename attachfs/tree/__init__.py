"""What the directory looks like; knows neither the kernel's interface nor HTTP."""
