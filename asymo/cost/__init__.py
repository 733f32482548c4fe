"""What a step costs on which cores: pure arithmetic on shapes and calibrated speeds."""
