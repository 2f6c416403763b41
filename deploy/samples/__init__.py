"""Programs as other bureaus would write them: they import nothing of Zhida's."""
