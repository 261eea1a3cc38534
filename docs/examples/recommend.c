/* cc recommend.c -o recommend $(pkg-config --cflags --libs libmarquee) && ./recommend model */
#include <marquee/marquee.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char error[MARQUEE_ERROR_SIZE] = "usage: recommend MODEL";
	struct marquee_model *model = NULL;
	struct marquee_movie best;
	size_t found = 0;
	const struct marquee_who who = {.age_years = 25, .gender = "F", .occupation = "programmer"};
	if (argc != 2 || marquee_open(&model, argv[1], error) != 0 ||
		marquee_recommend(model, &who, NULL, &best, 1, &found, error) != 0)
		return fprintf(stderr, "%s\n", error), 1;
	if (found)
		printf("%.3f %s\n", best.stars, best.title);
	marquee_close(model);
	return 0;
}
