"""The kit of the tests: virtual time, fakes of the ports, a real server, and waiting."""

MODEL = "bytedance/dreamina-4-0/text-to-image"
"""The model of all tests that need only one."""

OTHER_MODEL = "bytedance/other/text-to-image"
"""A second model, which the sandbox does not have."""
